"""One self-contained page from runs: records -> estimates -> figures -> page. `report.py` is the command."""
