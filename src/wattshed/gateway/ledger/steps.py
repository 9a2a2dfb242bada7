"""The ledger's table, and the hand-written steps from each version of it to the next.

Steps are never changed once released: step n leads from version n - 1 to n, so the first makes the table and later
ones mend it; all that are due run in one transaction.
"""

from collections.abc import Sequence
from typing import Final

from wattshed.errors import InputError
from wattshed.gateway.ledger.database import Database

TABLE: Final = "wattshed_requests"

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        f"""
        CREATE TABLE {TABLE} (
          request TEXT PRIMARY KEY, arrived_at TIMESTAMP WITH TIME ZONE NOT NULL, client_request TEXT, "key" TEXT,
          route TEXT NOT NULL, model TEXT NOT NULL, variant TEXT, streamed BOOLEAN NOT NULL, outcome TEXT NOT NULL,
          status BIGINT, failure TEXT, finish_reason TEXT, "system" TEXT, policy TEXT, choice TEXT,
          lam DOUBLE PRECISION, candidates TEXT, baseline TEXT, shadow TEXT, attempts BIGINT NOT NULL, in_flight BIGINT,
          wait_s DOUBLE PRECISION, ttft_s DOUBLE PRECISION, runtime_s DOUBLE PRECISION NOT NULL,
          input_tokens BIGINT, cached_tokens BIGINT, output_tokens BIGINT, estimated_input_tokens BIGINT,
          predicted_output_tokens DOUBLE PRECISION, most_output_tokens BIGINT,
          predicted_energy_j DOUBLE PRECISION, predicted_energy_lower_j DOUBLE PRECISION,
          predicted_energy_upper_j DOUBLE PRECISION, predicted_runtime_s DOUBLE PRECISION,
          predicted_p95_runtime_s DOUBLE PRECISION, extrapolated BOOLEAN,
          hindsight_energy_j DOUBLE PRECISION, hindsight_energy_lower_j DOUBLE PRECISION,
          hindsight_energy_upper_j DOUBLE PRECISION, hindsight_runtime_s DOUBLE PRECISION,
          hindsight_runtime_lower_s DOUBLE PRECISION, hindsight_runtime_upper_s DOUBLE PRECISION,
          baseline_energy_j DOUBLE PRECISION, baseline_energy_lower_j DOUBLE PRECISION,
          baseline_energy_upper_j DOUBLE PRECISION, shadow_energy_j DOUBLE PRECISION,
          attributed_energy_j DOUBLE PRECISION, attributed_idle_energy_j DOUBLE PRECISION, energy_reason TEXT,
          wasted_energy_j DOUBLE PRECISION
        )
        """,
        f"CREATE INDEX {TABLE}_arrived_at ON {TABLE} (arrived_at)",
    ),
    (f"ALTER TABLE {TABLE} ADD COLUMN carbon_g DOUBLE PRECISION",),
)
"""Hand-written migrations; the last leads to `schema.LEDGER_VERSION`."""


def migrate(database: Database, steps: Sequence[Sequence[str]]) -> None:
    """Take the steps that are due, all or none; two gateways that start at once take turns."""
    with database.transaction(alone=True) as cursor:
        if database.place.kind == "postgresql":
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('wattshed ledger'))")
        cursor.execute("CREATE TABLE IF NOT EXISTS wattshed_ledger (version INTEGER NOT NULL)")
        cursor.execute("SELECT COALESCE(MAX(version), 0) FROM wattshed_ledger")
        version = int(str(cursor.fetchmany(1)[0][0]))
        if version > len(steps):
            problem = f"is a ledger of version {version}, and this Wattshed knows versions up to {len(steps)}"
            raise InputError(problem, path=str(database.place), fix="install the newer Wattshed")
        for statement in (statement for step in steps[version:] for statement in step):
            cursor.execute(statement)
        if version < len(steps):
            cursor.execute(f"INSERT INTO wattshed_ledger VALUES ({len(steps)})")  # noqa: S608 - a number
