"""Folders of millions: a plan, and a part of the answers for each piece of it."""
