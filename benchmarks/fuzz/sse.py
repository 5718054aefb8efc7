"""An upstream's stream: Server-sent events, chunks of a completion, an answer out of them."""

from __future__ import annotations

from mesh.errors import MeshError
from node.engines.openai.reading import End, Reading, UpstreamRequest

SEEDS: tuple[bytes, ...] = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"hi "}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"there"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":3}}}\n\ndata: [DONE]\n\n',
    b': ping\r\n\r\nevent: message\r\ndata: {"choices":[{"delta":{"reasoning_content":"hm"}}]}'
    b"\r\n\r\ndata: [DONE]\r\n\r\n",
    b'data: {"choices":[{"delta":{"content":"<think>hm</think>hi"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"\\ude00b \xf0\x9f"},"finish_reason":"length"}]}\n\n',
    b'data: {"choices":[{"delta":{"content":[{"type":"text","text":"hi"}]},"logprobs":NaN}]}\n\n',
    b'data: {"error":{"message":"it broke","type":"server_error","code":500}}\n\ndata: [DONE]\n\n',
    b'event: error\ndata: {"detail":[{"msg":"it broke"}]}\n\n',
    b'{"object":"chat.completion","choices":[{"message":{"content":"hi there"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":"7"}}',
    b'{"choices":[{"text":"hi"}]}\n{"choices":[{"text":" there","finish_reason":"stop"}]}\n',
)
EXPECTED: tuple[type[Exception], ...] = (MeshError,)


def decode(data: bytes) -> None:
    """In three parts, so that every boundary is cut somewhere."""
    reading = Reading(UpstreamRequest(body={}, max_tokens=100))
    third = len(data) // 3
    found = [
        event
        for part in (data[:third], data[third : 2 * third], data[2 * third :])
        for event in reading.read(part)
    ]
    found += reading.end(framed=bool(third % 2))
    if not isinstance(found[-1], End):
        raise TypeError("an answer that ends without an end")
