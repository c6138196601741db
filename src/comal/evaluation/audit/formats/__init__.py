"""Files that an audit reads: verdicts, answers, tables of win rates, and what other judges' tools write."""
