"""What runs inside the real Hummingbot's own Python: it imports hummingbot and its libraries, and nothing of ladder's.

The parent starts it as a package named `worker`, with the folder above on sys.path (`reports.hummingbot.real.runner`).
"""
