"""Hummingbot's controller files: read as the bot reads them, refused where a baseline would be another."""

from decimal import Decimal

import pandas as pd
import pytest

from data import load_sample
from data.errors import ValidationError
from reports.hummingbot import BollingerV1, DManV3, MacdBbV1, PmmSimple, SupertrendV1, read_controller

HEAD = """
id: my_bot
controller_type: {kind}
controller_name: {name}
connector_name: binance_perpetual
trading_pair: BTC-USDT
total_amount_quote: 1000
leverage: 10
position_mode: HEDGE
manual_kill_switch: false
initial_positions: []
"""


@pytest.fixture
def written(tmp_path):
    def write(name, body="", kind="directional_trading", **replaced):
        text = HEAD.format(name=name, kind=kind) + body
        for key, line in replaced.items():
            lines = [line if row.startswith(f"{key}:") else row for row in text.splitlines()]
            text = "\n".join(lines)
        path = tmp_path / "controller.yml"
        path.write_text(text)
        return path

    return write


def test_a_file_as_hummingbot_writes_it(written):
    bot = read_controller(
        written(
            "bollinger_v1",
            """
candles_connector: binance_perpetual
candles_trading_pair: BTC-USDT
interval: 1h
bb_length: 50
bb_std: 2.5
bb_long_threshold: 0.1
bb_short_threshold: 0.9
stop_loss: '0.05'
take_profit: 0.03
time_limit: 86400
cooldown_time: 3600
max_executors_per_side: 3
take_profit_order_type: 2
trailing_stop:
  activation_price: '0.015'
  trailing_delta: '0.003'
""",
        )
    )
    assert (bot.id, bot.controller_name, bot.symbol, bot.interval) == ("my_bot", "bollinger_v1", "BTC/USDT", "1h")
    assert bot.controller == BollingerV1(50, 2.5, 0.1, 0.9)
    config = bot.config
    assert (config.stop_loss, config.take_profit, config.trailing_stop) == (0.05, 0.03, (0.015, 0.003))
    assert (config.time_limit, config.cooldown_time) == (pd.Timedelta("1D"), pd.Timedelta("1h"))
    assert (config.max_executors_per_side, config.total_amount_quote, config.trade_cost) == (3, 1000.0, 0.0002)
    assert any("leverage" in note for note in bot.notes)


@pytest.mark.parametrize(
    ("name", "kind", "controller"),
    [
        ("bollinger_v1", "directional_trading", BollingerV1()),
        ("macd_bb_v1", "directional_trading", MacdBbV1()),
        ("supertrend_v1", "directional_trading", SupertrendV1()),
        ("dman_v3", "directional_trading", DManV3()),
        ("pmm_simple", "market_making", PmmSimple()),
    ],
)
def test_what_a_file_leaves_out_is_hummingbots_own(written, name, kind, controller):
    bot = read_controller(written(name, kind=kind))
    assert bot.controller == controller
    assert bot.config.trailing_stop == ((0.015, 0.005) if name == "dman_v3" else None)
    assert bot.config.cooldown_time == pd.Timedelta(seconds=15 if name == "pmm_simple" else 300)


@pytest.mark.parametrize("spreads", ["'0.001,0.02'", "[0.001, 0.02]", "['0.001', '0.02']", "'0.001, 0.02'"])
def test_lists_may_be_written_in_every_way(written, spreads):
    body = f"dca_spreads: {spreads}\ndca_amounts_pct: ''\ndynamic_order_spread:\ntrailing_stop: '0.01,0.002'\n"
    bot = read_controller(written("dman_v3", body))
    assert bot.controller.spreads == (Decimal("0.001"), Decimal("0.02"))
    assert bot.controller.parts == (Decimal("0.5"), Decimal("0.5"))
    assert bot.config.trailing_stop == (0.01, 0.002)


def test_barriers_may_be_switched_off(written):
    bot = read_controller(written("bollinger_v1", "stop_loss: ''\ntake_profit: null\ntime_limit:\ntrailing_stop: ''\n"))
    config = bot.config
    assert (config.stop_loss, config.take_profit, config.time_limit, config.trailing_stop) == (None, None, None, None)


def test_the_baseline_of_a_file_runs(written):
    market = load_sample()
    market = market.select([market.symbols[0]])
    bot = read_controller(written("bollinger_v1", f"interval: {market.timeframe}\nbb_length: 20\ntime_limit: 14400\n"))
    bot.check_timeframe(market.timeframe)
    run = bot.baseline(trade_cost=0.001).run(market)
    assert len(run.executors) > 50 and run.config.trade_cost == 0.001 and run.name == "bollinger_v1"
    with pytest.raises(ValidationError, match="interval"):
        bot.check_timeframe("4h")


@pytest.mark.parametrize(
    ("name", "kind", "body", "match"),
    [
        ("bollinger_v2", "directional_trading", "", "controller_name 'bollinger_v2': there are native versions of"),
        ("bollinger_v1", "directional_trading", "bb_lenght: 20\n", "bb_lenght: the controller knows no such key"),
        ("bollinger_v1", "directional_trading", "bb_length: many\n", "bb_length 'many'"),
        ("bollinger_v1", "directional_trading", "stop_loss: -0.1\n", "stop_loss -0.1"),
        ("bollinger_v1", "directional_trading", "trailing_stop: '0.1'\n", "trailing_stop '0.1'.*two numbers"),
        ("bollinger_v1", "market_making", "", "controller_type 'market_making'"),
        ("bollinger_v1", "directional_trading", "candles_trading_pair: ETH-USDT\n", "candles_trading_pair 'ETH-USDT'"),
        ("bollinger_v1", "directional_trading", "candles_connector: kraken\n", "candles_connector 'kraken'"),
        ("bollinger_v1", "directional_trading", "bb_length: 1\n", "bb_length 1 must be a whole number"),
        ("dman_v3", "directional_trading", "dca_spreads: '0.1,x'\n", "dca_spreads '0.1,x'.*'x'"),
        ("dman_v3", "directional_trading", "dca_amounts_pct: '1,2'\n", "2 dca_amounts_pct for 4 dca_spreads"),
        ("dman_v3", "directional_trading", "dynamic_target: true\n", "dynamic_target without dynamic_order_spread"),
        ("pmm_simple", "market_making", "buy_spreads: [0.01, -0.02]\n", "buy_spreads holds -0.02"),
        ("ai_livestream", "directional_trading", "interval: 1h\n", "interval '1h'"),
    ],
)
def test_what_is_wrong_is_named(written, name, kind, body, match):
    path = written(name, body, kind)
    with pytest.raises(ValidationError, match=match) as caught:
        read_controller(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "line", "match"),
    [
        ("manual_kill_switch", "manual_kill_switch: true", "manual_kill_switch True"),
        ("initial_positions", "initial_positions: [{side: 1}]", "initial_positions"),
        ("id", "", "id: missing"),
        ("trading_pair", "trading_pair: BTCUSDT", "trading_pair 'BTCUSDT'"),
    ],
)
def test_what_no_backtest_does_is_refused(written, key, line, match):
    with pytest.raises(ValidationError, match=match):
        read_controller(written("bollinger_v1", **{key: line}))


def test_market_making_on_a_spot_exchange_is_refused_unless_it_keeps_off_rebalancing(written):
    spot = {"connector_name": "connector_name: kucoin"}
    with pytest.raises(ValidationError, match="skip_rebalance: true"):
        read_controller(written("pmm_simple", kind="market_making", **spot))
    assert (
        read_controller(written("pmm_simple", "skip_rebalance: true\n", "market_making", **spot)).connector == "kucoin"
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [("a: [1, 2", "no YAML at line"), ("- 1\n- 2\n", "expected the keys"), ("", "expected the keys")],
)
def test_what_is_no_controller_file_is_said(tmp_path, content, match):
    path = tmp_path / "controller.yml"
    path.write_text(content)
    with pytest.raises(ValidationError, match=match):
        read_controller(path)
    with pytest.raises(ValidationError, match="cannot be read"):
        read_controller(tmp_path / "none.yml")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValidationError, match="cannot be read"):
        read_controller(path)
