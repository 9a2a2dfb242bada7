"""The profiler: designs, trials, stopping rules, and campaigns that end in a bundle anyone can check."""
