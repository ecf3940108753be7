"""A script that is killed and started again: each item runs once (``make again``)."""
