"""Live trading through ccxt: orders, journal, keys."""
