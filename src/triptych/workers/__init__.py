"""Committees in processes of their own, one for each core, so that photos do not share one Python.

pool         starts the processes, sends them photos, and replaces those that die
classifier   a `Classifier` whose photos are classified by a pool
process      what runs in such a process
messages     what pool and processes send each other
"""
