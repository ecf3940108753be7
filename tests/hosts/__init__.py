"""Many hosts on one machine, with a network between them that delays, loses and parts: ``make hosts``.

Each host is a network namespace of the test's own. Between them there is no switch of the kernel's, but a program
(``network.py``), for not every kernel can delay and lose packets by itself (``tc netem``).
"""
