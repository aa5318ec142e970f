"""Logs of behaviour, each read in its own form: one small file a form, all through `model.event` and `model.text`."""
