"""Execution rules 2 to 4 of DESIGN.md as arithmetic on plain numbers: sizes, prices, fees, cash, margin.

Every broker calls these: `engine.kernel` compiles them with numba, `engine.event_driven` calls them as they stand. Both
run the same IEEE operations in the same order, so equal inputs give equal orders to the last bit. For that reason each
function is a leaf (it calls nothing of ours) and uses only float arithmetic that numba and CPython agree on: `x // 1.0`
and not `math.floor`, which gives numba an integer of 64 bits, too few for a coin of 1e-8 counted in steps of 1e-8.

Amounts are signed, base currency: positive buys, negative sells. Prices are quote per base, cash is quote currency.
"""

from __future__ import annotations

import math

# An amount within this fraction of a step from the next whole step is that step: 0.3 / 0.1 is 2.9999999999999996.
STEP_NOISE = 1e-9
# A weight or an order below this fraction of equity is rounding noise.
DUST = 1e-9
# What is left of a sum below this fraction of its terms is rounding noise: a shortage of cash, a rest of a holding.
SUM_NOISE = 1e-12


def round_to_step(amount: float, step: float, noise: float) -> float:
    """`amount` rounded towards zero to a whole multiple of `step` (rule 2); unchanged where `step` is 0.

    Within `noise` of the next whole step (a fraction of a step) it is that step: STEP_NOISE for a wanted amount, and
    SUM_NOISE for one that cash limits, since a step more than cash pays would have to be borrowed.

    A step such as 0.001 has no exact float, its inverse has: dividing by it gives the float nearest to the multiple.
    """
    if step <= 0.0:
        return amount
    steps = abs(amount) / step
    whole = steps // 1.0
    # A quotient of two floats is off by one part in 2**53, and so are they: of millions of steps more than `noise`.
    # Beyond 2**50 steps a float cannot tell a part of a step at all.
    if steps < 2.0**50 and steps - whole > 1.0 - noise - 2.0**-51 * steps:
        whole += 1.0
    inverse = (1.0 / step + 0.5) // 1.0
    size = whole / inverse if abs(inverse * step - 1.0) < STEP_NOISE else whole * step
    return size if amount > 0.0 else -size


def significant_step(value: float, digits: int) -> float:
    """The step that leaves `digits` significant digits of `value`: 0.1 for 12345.6 and six; 0 without a rule."""
    size = abs(value)
    if digits <= 0 or size == 0.0:
        return 0.0
    exponent = 1 - digits
    power = 1.0
    # Powers of ten up to 1e22 are exact floats, their inverses the nearest there are.
    if size >= 1.0:
        while size >= power * 10.0:
            power *= 10.0
            exponent += 1
    else:
        while size * power < 1.0:
            power *= 10.0
            exponent -= 1
    step = 1.0
    for _ in range(abs(exponent)):
        step *= 10.0
    return step if exponent >= 0 else 1.0 / step


def round_price(price: float, tick: float, direction: int) -> float:
    """`price` as a whole multiple of `tick`: the nearest (0), or the one below (-1) or above (1) it; as it is for 0.

    A price within STEP_NOISE of a tick from a whole multiple, or within what floats can tell, is that multiple. One
    that goes up is at least a tick.
    """
    if tick <= 0.0:
        return price
    ticks = price / tick
    nearest = (ticks + 0.5) // 1.0
    whole = nearest
    if direction != 0 and abs(ticks - nearest) > STEP_NOISE + 2.0**-51 * ticks:
        whole = ticks // 1.0
        if direction > 0:
            whole += 1.0
    if direction > 0:
        whole = max(whole, 1.0)
    inverse = (1.0 / tick + 0.5) // 1.0
    return whole / inverse if abs(inverse * tick - 1.0) < STEP_NOISE else whole * tick


def unrounded_order(weight: float, equity: float, held: float, close: float) -> float:
    """Amount that takes the holding to `weight` of `equity` at the decision's `close` (rule 2), before rounding.

    Without equity there is nothing to size by, and a weight of rounding noise is none: the position is closed.
    """
    if abs(weight) < DUST or equity <= 0.0:
        return -held
    return weight * equity / close - held


def fixed_order(weight: float, notional: float, equity: float, held: float, close: float, is_position: bool) -> float:
    """Amount that opens or turns a position to `weight` of a fixed `notional` (quote), before rounding.

    A position on the target's side is left as it is, whatever it is worth by now: no second order adds to it. Without
    equity, or at a weight of rounding noise, the position is closed.
    """
    if abs(weight) < DUST or equity <= 0.0:
        return -held
    if is_position and weight * held > 0.0:
        return 0.0
    return weight * notional / close - held


def smallest_order(min_notional: float, equity: float) -> float:
    """Notional below which no order is sent (rule 2): the venue's minimum, and never rounding noise of the equity."""
    return max(min_notional * (1.0 - STEP_NOISE), DUST * equity)


def is_sendable(amount: float, closing: float, close: float, smallest: float, min_amount: float) -> bool:
    """Whether an order is large enough at the decision's `close`, or closes the position (rule 2).

    `closing` is the order that would: all that is held, negated and in whole steps.
    """
    if amount == 0.0:
        return False
    return amount == closing or (abs(amount) * close >= smallest and abs(amount) >= min_amount * (1.0 - STEP_NOISE))


def is_open(held: float, step: float) -> bool:
    """Whether what is held can be sold: a fee taken in coins leaves less than a step behind, and that is no position.

    `step` is the venue's where such rests occur, 0 where they cannot.
    """
    return held != 0.0 and abs(held) >= step * (1.0 - SUM_NOISE)


def slippage_of(amount: float, volume: float, base: float, coefficient: float, most: float) -> float:
    """Slippage of an order, a fraction: `base`, or with a coefficient the square-root law of `SquareRootImpact`."""
    if coefficient == 0.0:
        return base
    if not volume > 0.0:
        return most
    return min(base + coefficient * math.sqrt(abs(amount) / volume), most)


def fill_price(reference: float, amount: float, slippage: float) -> float:
    """Price of an order that takes from the book, worse by `slippage` than the open or the stop it goes by (rule 3)."""
    return reference * (1.0 + slippage) if amount > 0.0 else reference * (1.0 - slippage)


def margin_held(held: float, mark: float, leverage: float) -> float:
    """What a position ties up beyond its own value: free margin is cash less the sum of these.

    Nothing for a spot holding (its value has left cash already), so there free margin is cash. A short ties up its
    margin and the proceeds of its sale.
    """
    return abs(held) * mark / leverage - held * mark


def payable_amount(
    amount: float, held: float, mark: float, price: float, fee: float, leverage: float, free: float
) -> float:
    """The part of an order that `free` margin pays, fee included (rule 4), before rounding to the step.

    The part that reduces a position is always payable, and what it releases counts for the rest. On spot this is the
    rule's own sentence: a buy is cut to what cash pays.

    Args:
        amount: the order.
        held: position before it.
        mark: price at which the position is valued now.
        price: the fill price.
        fee: rate, fraction of notional.
        leverage: of the venue.
        free: free margin of the whole account before the order.
    """
    size = abs(amount)
    side = 1.0 if amount > 0.0 else -1.0
    reducing = min(size, max(-side * held, 0.0))
    opening = size - reducing
    if opening <= SUM_NOISE * size:
        return amount
    if reducing > 0.0:
        free = free + reducing * (mark / leverage - side * (price - mark) - price * fee)
    # Paid in full, or else a margin at the mark, what the slippage loses at once, and the fee: so that the position is
    # within leverage times equity after the fill.
    paid_in_full = side > 0.0 and leverage == 1.0
    unit = price * (1.0 + fee) if paid_in_full else mark / leverage + side * (price - mark) + price * fee
    if opening * unit <= free + SUM_NOISE * opening * unit:
        return amount
    return side * (reducing + max(free, 0.0) / unit)


def fee_paid(amount: float, price: float, fee: float) -> float:
    """Fee of a fill, quote currency (rule 3)."""
    return abs(amount) * price * fee


def cash_after(cash: float, amount: float, price: float, fee: float) -> float:
    """Cash after a fill that paid `fee` (quote currency); a rounding error below zero is zero."""
    notional = amount * price
    left = cash - notional - fee
    return 0.0 if left < 0.0 and left > -2.0 * SUM_NOISE * abs(notional) else left


def held_after(held: float, amount: float, step: float) -> float:
    """Position after a fill, free of the noise that float sums leave: whole steps stay whole, closed is exactly 0."""
    total = held + amount
    if abs(total) <= SUM_NOISE * max(abs(held), abs(amount)):
        return 0.0
    if step <= 0.0:
        return total
    steps = (abs(total) / step + 0.5) // 1.0
    inverse = (1.0 / step + 0.5) // 1.0
    size = steps / inverse if abs(inverse * step - 1.0) < STEP_NOISE else steps * step
    return size if total > 0.0 else -size


def received(amount: float, fee: float, fee_in_bought: bool) -> float:
    """What an order adds to the holding: a buy brings `fee` (a rate) less where the fee is taken from its coins."""
    return amount - amount * fee if fee_in_bought and amount > 0.0 else amount


def liquidation_share(at_open: float, at_worst: float) -> float:
    """How far prices move from a bar's opens to its adverse extremes until an account is liquidated, in [0, 1]; else 2.

    All prices are taken to move by one share at once, the worst that the bar allows. What is left above the maintenance
    margin is linear in that share, so where it reaches zero is exact.

    Args:
        at_open: equity less maintenance margin at the opens.
        at_worst: the same with each long at its low and each short at its high.
    """
    if at_open <= 0.0:
        return 0.0
    return at_open / (at_open - at_worst) if at_worst <= 0.0 else 2.0


def path_share(at_open: float, worst: float, level: float) -> float:
    """How far on the way from a bar's open to its adverse extreme a level lies, in the terms of `liquidation_share`."""
    return (level - at_open) / (worst - at_open)


def execution_phase(amount: float, held: float) -> int:
    """When an order goes among those that fill at the same open (rule 4): what frees cash goes first.

    0: sells that reduce a position; 1: buys that reduce one; 2: other sells; 3: other buys. On spot only 0 and 3 occur.
    """
    reduces = amount * held < 0.0 and abs(amount) <= abs(held)
    if amount < 0.0:
        return 0 if reduces else 2
    return 1 if reduces else 3
