"""The flow on Ray Data, the ledger, the command line and the report. The only folder that knows Ray."""
