"""The outside parties that we ask: one module and one class each."""
