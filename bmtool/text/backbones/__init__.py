"""Networks that read and write text, under the names of the Hugging Face format: `encoder` (BERT) and `decoder` (Llama, Qwen2, GPT-2)."""
