"""What a strategy or a model may know of a bar beside its prices: regimes of volatility, sentiment and dominance.

    from research.features.regime import Regimes
    market = market.with_fields(**Regimes().features(market))

Every feature is a table, time by symbol, float64, and rests on what was known at each bar's close.
"""
