"""Stage 5: practice items + a plan → a LoRA adapter directory. Torch and PEFT live here.

`items` encodes, `batches` orders, `loop` trains, `checkpoint` survives, `recipes/` says what is
trainable, `export` writes the GGUF adapter, `parity` proves that llama.cpp computes the same.
"""
