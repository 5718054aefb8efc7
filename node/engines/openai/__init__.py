"""Engine ``openai``: models of any OpenAI-compatible server, over HTTP and server-sent events."""
