"""Kills Dask workers, bridges and schedulers in the middle of a map, many times: ``make dask``."""
