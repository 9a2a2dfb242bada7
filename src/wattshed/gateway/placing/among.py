"""Policies speak of a whole fleet; here they are made to speak of the machines that serve one model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wattshed.policies.fixed import AllTo
from wattshed.policies.policy import Policy
from wattshed.policies.priced import Priced
from wattshed.policies.threshold import ProductThreshold, Threshold, TwoThresholds


def among(policy: Policy, moved: Mapping[int, int]) -> Policy:
    """The policy with the positions of a part of the fleet; one that names a system outside it names none there."""
    nowhere = -1
    if isinstance(policy, AllTo):
        return replace(policy, position=moved.get(policy.position, nowhere))
    if isinstance(policy, Threshold | ProductThreshold | TwoThresholds):
        below, above = (moved.get(at, nowhere - at) for at in (policy.pair.below, policy.pair.above))
        return replace(policy, pair=replace(policy.pair, below=below, above=above))
    return priced_among(policy, list(moved)) if isinstance(policy, Priced) else policy


def priced_among(policy: Priced, machines: Sequence[int]) -> Priced:
    """The prices of these machines alone."""
    tilts = tuple(policy.tilts[machine] for machine in machines) if policy.tilts else ()
    names = tuple(policy.names[machine] for machine in machines) if policy.names else ()
    return replace(policy, prices=tuple(policy.prices[machine] for machine in machines), tilts=tilts, names=names)
