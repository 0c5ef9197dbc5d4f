"""What every job stands on: settings, session, contracts, tables, quality, ledger, tracking and the job frame."""
