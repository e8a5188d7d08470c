"""These are the operators: what only a person does about money, one module a thing, each move with its reason in the audit log."""
