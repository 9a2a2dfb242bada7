"""What every machine is doing: slots, queues, health, sleep."""
