"""Wattshed: place each LLM query on the machine where it costs least energy.

The public names below load on first use, so that `import wattshed` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wattshed.datasets.profiles import read_profile as read_profile
    from wattshed.datasets.workloads import read_workload as read_workload
    from wattshed.domain.cost import Objective as Objective
    from wattshed.domain.plan import Decision as Decision
    from wattshed.domain.plan import Plan as Plan
    from wattshed.domain.prediction import Prediction as Prediction
    from wattshed.domain.query import Query as Query
    from wattshed.domain.query import Workload as Workload
    from wattshed.domain.system import Fleet as Fleet
    from wattshed.domain.system import System as System
    from wattshed.errors import WattshedError as WattshedError
    from wattshed.predictors.fit import fit as fit

_HOMES = {
    "Decision": "wattshed.domain.plan",
    "Fleet": "wattshed.domain.system",
    "Objective": "wattshed.domain.cost",
    "Plan": "wattshed.domain.plan",
    "Prediction": "wattshed.domain.prediction",
    "Query": "wattshed.domain.query",
    "System": "wattshed.domain.system",
    "WattshedError": "wattshed.errors",
    "Workload": "wattshed.domain.query",
    "fit": "wattshed.predictors.fit",
    "read_profile": "wattshed.datasets.profiles",
    "read_workload": "wattshed.datasets.workloads",
}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The public name, imported on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wattshed' has no attribute {name!r}; it offers {', '.join(sorted(_HOMES))}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOMES)
