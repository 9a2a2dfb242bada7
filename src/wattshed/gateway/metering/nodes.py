"""The nodes whose agents count joules, over reloads: one `NodeEnergy` an agent, and one `Polling` that asks it.

    core before  --its requests--.
                                 +--> node of the agent <--windows-- the newest polling --> agent
    core after   --its requests--'

Two cores have requests on a machine for as long as those of the old one last. Each with a node of its own would give
its requests all joules of the machine, and so they would be given twice.
"""

import asyncio
from dataclasses import dataclass, replace

from wattshed.gateway.attribution.energy import NodeEnergy, Terms
from wattshed.gateway.metering.polling import Polling


@dataclass(frozen=True, slots=True)
class _Polled:
    polling: Polling
    task: "asyncio.Task[None]"


class Metering:
    """Owns the nodes, by the URLs of their agents, and what asks for them."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeEnergy] = {}
        self._polled: dict[NodeEnergy, _Polled] = {}

    def node(self, agent_url: str, terms: Terms, at_s: float) -> NodeEnergy:
        """The node of an agent, split by these terms from now on; what it learned of idle power stays."""
        node = self._nodes.get(agent_url)
        if node is None:
            node = self._nodes[agent_url] = NodeEnergy(terms, at_s)
        node.terms = replace(terms, idle_power_w=node.terms.idle_power_w)
        return node

    def poll(self, polling: Polling, group: asyncio.TaskGroup) -> "asyncio.Task[None]":
        """Have the node's agent asked by this one, which goes on from the one before, and by that no more."""
        before = self._polled.get(polling.node)
        if before is not None:
            before.task.cancel()
            polling.follow(before.polling)
        task = group.create_task(polling.run())
        self._polled[polling.node] = _Polled(polling, task)
        return task
