"""The network. `config` and `tokenizer` work without torch."""
