"""Models that run elsewhere: the engine for OpenAI-compatible servers (vLLM, llama-server, KoboldCpp)."""
