//! Hugging Face folders, safetensors and TensorBoard events: reader and writer side by side.
