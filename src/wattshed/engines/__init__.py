"""Engines: what makes tokens, behind one small role."""
