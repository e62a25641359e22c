"""Exports: a committee as one file that answers elsewhere as it does here.

Every network is on disk as an OpenVINO graph, so the committee is built as one around them
(`triptych.exports.committee_graph`), and other formats are translations of it. `formats.FORMATS` is
the table of them. An export is compared with the committee before it is handed over.
"""
