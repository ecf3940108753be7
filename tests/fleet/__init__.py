"""What very many services ask of one server: measured, simulated, and modelled for more than fit here.

``make fleet`` (``__main__.py``) prints the tables of docs/scaling.md: what each thing costs a real server
(``costs.py``), what real services say in the simulator, of so many (``traffic.py``), and how a server copes with
the chunks of ten thousand cores, by the product's own rules (``model.py``).
"""
