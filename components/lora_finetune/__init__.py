"""Component, step kind `w`: LoRA fine-tuning on the program's own traces."""
