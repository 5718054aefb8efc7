from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LoadRequest(_message.Message):
    __slots__ = ("source", "specialties", "id", "slots", "context_length", "engine", "node_id")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SPECIALTIES_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    source: str
    specialties: _containers.RepeatedScalarFieldContainer[str]
    id: str
    slots: int
    context_length: int
    engine: str
    node_id: str
    def __init__(self, source: _Optional[str] = ..., specialties: _Optional[_Iterable[str]] = ..., id: _Optional[str] = ..., slots: _Optional[int] = ..., context_length: _Optional[int] = ..., engine: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class UnloadRequest(_message.Message):
    __slots__ = ("model", "wait", "node_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    wait: bool
    node_id: str
    def __init__(self, model: _Optional[str] = ..., wait: _Optional[bool] = ..., node_id: _Optional[str] = ...) -> None: ...

class OrderStep(_message.Message):
    __slots__ = ("phase", "model", "percent", "answers", "text", "device", "slots", "context_length", "bytes", "load_s")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    LOAD_S_FIELD_NUMBER: _ClassVar[int]
    phase: str
    model: str
    percent: int
    answers: int
    text: str
    device: str
    slots: int
    context_length: int
    bytes: int
    load_s: float
    def __init__(self, phase: _Optional[str] = ..., model: _Optional[str] = ..., percent: _Optional[int] = ..., answers: _Optional[int] = ..., text: _Optional[str] = ..., device: _Optional[str] = ..., slots: _Optional[int] = ..., context_length: _Optional[int] = ..., bytes: _Optional[int] = ..., load_s: _Optional[float] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("role", "content", "parts")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("text", "image", "tool_call", "tool_result")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    TOOL_RESULT_FIELD_NUMBER: _ClassVar[int]
    text: str
    image: Image
    tool_call: ToolCall
    tool_result: ToolResult
    def __init__(self, text: _Optional[str] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., tool_call: _Optional[_Union[ToolCall, _Mapping]] = ..., tool_result: _Optional[_Union[ToolResult, _Mapping]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("media_type", "data", "url")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    data: bytes
    url: str
    def __init__(self, media_type: _Optional[str] = ..., data: _Optional[bytes] = ..., url: _Optional[str] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("id", "name", "arguments")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    arguments: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ...) -> None: ...

class ToolResult(_message.Message):
    __slots__ = ("call_id", "text")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    text: str
    def __init__(self, call_id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "stop", "grammar", "json_schema")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MIN_P_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    GRAMMAR_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    seed: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    grammar: str
    json_schema: str
    def __init__(self, max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., top_k: _Optional[int] = ..., min_p: _Optional[float] = ..., repetition_penalty: _Optional[float] = ..., seed: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ..., grammar: _Optional[str] = ..., json_schema: _Optional[str] = ...) -> None: ...

class Manner(_message.Message):
    __slots__ = ("sampling", "system")
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    sampling: Sampling
    system: str
    def __init__(self, sampling: _Optional[_Union[Sampling, _Mapping]] = ..., system: _Optional[str] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("messages", "sampling", "specialty", "model", "timeout_s", "priority", "request_id", "no_resume", "continuation", "tenant", "cacheable", "strict")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    SPECIALTY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NO_RESUME_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CACHEABLE_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    sampling: Sampling
    specialty: str
    model: str
    timeout_s: float
    priority: str
    request_id: str
    no_resume: bool
    continuation: Continuation
    tenant: str
    cacheable: bool
    strict: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., specialty: _Optional[str] = ..., model: _Optional[str] = ..., timeout_s: _Optional[float] = ..., priority: _Optional[str] = ..., request_id: _Optional[str] = ..., no_resume: _Optional[bool] = ..., continuation: _Optional[_Union[Continuation, _Mapping]] = ..., tenant: _Optional[str] = ..., cacheable: _Optional[bool] = ..., strict: _Optional[bool] = ...) -> None: ...

class Continuation(_message.Message):
    __slots__ = ("ids", "texts", "tokenizer_hash", "attempts", "specialty", "model", "weights", "system")
    IDS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_HASH_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SPECIALTY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    tokenizer_hash: str
    attempts: int
    specialty: str
    model: str
    weights: str
    system: str
    def __init__(self, ids: _Optional[_Iterable[int]] = ..., texts: _Optional[_Iterable[str]] = ..., tokenizer_hash: _Optional[str] = ..., attempts: _Optional[int] = ..., specialty: _Optional[str] = ..., model: _Optional[str] = ..., weights: _Optional[str] = ..., system: _Optional[str] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("from_node", "to_node", "at_token", "gap_ms", "reason", "from_model", "to_model", "same_weights", "by_ids")
    FROM_NODE_FIELD_NUMBER: _ClassVar[int]
    TO_NODE_FIELD_NUMBER: _ClassVar[int]
    AT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    GAP_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FROM_MODEL_FIELD_NUMBER: _ClassVar[int]
    TO_MODEL_FIELD_NUMBER: _ClassVar[int]
    SAME_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    BY_IDS_FIELD_NUMBER: _ClassVar[int]
    from_node: str
    to_node: str
    at_token: int
    gap_ms: float
    reason: str
    from_model: str
    to_model: str
    same_weights: bool
    by_ids: bool
    def __init__(self, from_node: _Optional[str] = ..., to_node: _Optional[str] = ..., at_token: _Optional[int] = ..., gap_ms: _Optional[float] = ..., reason: _Optional[str] = ..., from_model: _Optional[str] = ..., to_model: _Optional[str] = ..., same_weights: _Optional[bool] = ..., by_ids: _Optional[bool] = ...) -> None: ...

class Alternative(_message.Message):
    __slots__ = ("specialty", "probability", "rule")
    SPECIALTY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    specialty: str
    probability: float
    rule: str
    def __init__(self, specialty: _Optional[str] = ..., probability: _Optional[float] = ..., rule: _Optional[str] = ...) -> None: ...

class StageVerdict(_message.Message):
    __slots__ = ("stage", "specialty", "confidence", "rule", "micros", "note")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SPECIALTY_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    stage: str
    specialty: str
    confidence: float
    rule: str
    micros: float
    note: str
    def __init__(self, stage: _Optional[str] = ..., specialty: _Optional[str] = ..., confidence: _Optional[float] = ..., rule: _Optional[str] = ..., micros: _Optional[float] = ..., note: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("specialty", "stage", "rule", "confidence", "alternatives", "verdicts", "rules_version", "micros", "request_id", "manner")
    SPECIALTY_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MANNER_FIELD_NUMBER: _ClassVar[int]
    specialty: str
    stage: str
    rule: str
    confidence: float
    alternatives: _containers.RepeatedCompositeFieldContainer[Alternative]
    verdicts: _containers.RepeatedCompositeFieldContainer[StageVerdict]
    rules_version: str
    micros: float
    request_id: str
    manner: Manner
    def __init__(self, specialty: _Optional[str] = ..., stage: _Optional[str] = ..., rule: _Optional[str] = ..., confidence: _Optional[float] = ..., alternatives: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ..., verdicts: _Optional[_Iterable[_Union[StageVerdict, _Mapping]]] = ..., rules_version: _Optional[str] = ..., micros: _Optional[float] = ..., request_id: _Optional[str] = ..., manner: _Optional[_Union[Manner, _Mapping]] = ...) -> None: ...

class Assigned(_message.Message):
    __slots__ = ("node_id", "node_name", "model", "attempt", "tokenizer_hash", "specialty", "weights")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_HASH_FIELD_NUMBER: _ClassVar[int]
    SPECIALTY_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    node_name: str
    model: str
    attempt: int
    tokenizer_hash: str
    specialty: str
    weights: str
    def __init__(self, node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., model: _Optional[str] = ..., attempt: _Optional[int] = ..., tokenizer_hash: _Optional[str] = ..., specialty: _Optional[str] = ..., weights: _Optional[str] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("why", "up_to_s")
    WHY_FIELD_NUMBER: _ClassVar[int]
    UP_TO_S_FIELD_NUMBER: _ClassVar[int]
    why: str
    up_to_s: float
    def __init__(self, why: _Optional[str] = ..., up_to_s: _Optional[float] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("phase", "done", "total")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    phase: str
    done: int
    total: int
    def __init__(self, phase: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class Tokens(_message.Message):
    __slots__ = ("first", "ids", "texts")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    first: int
    ids: _containers.RepeatedScalarFieldContainer[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, first: _Optional[int] = ..., ids: _Optional[_Iterable[int]] = ..., texts: _Optional[_Iterable[str]] = ...) -> None: ...

class Taken(_message.Message):
    __slots__ = ("answer", "pieces")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    answer: str
    pieces: int
    def __init__(self, answer: _Optional[str] = ..., pieces: _Optional[int] = ...) -> None: ...

class Acknowledged(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Done(_message.Message):
    __slots__ = ("finish_reason", "node_id", "node_name", "model", "prompt_tokens", "completion_tokens", "cached_tokens", "ttft_ms", "tokens_per_second", "resumed", "attempts", "trace_id", "queue_ms", "resumes", "source")
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TTFT_MS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    RESUMES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    finish_reason: str
    node_id: str
    node_name: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    ttft_ms: float
    tokens_per_second: float
    resumed: bool
    attempts: int
    trace_id: str
    queue_ms: float
    resumes: _containers.RepeatedCompositeFieldContainer[Resume]
    source: str
    def __init__(self, finish_reason: _Optional[str] = ..., node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., model: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., ttft_ms: _Optional[float] = ..., tokens_per_second: _Optional[float] = ..., resumed: _Optional[bool] = ..., attempts: _Optional[int] = ..., trace_id: _Optional[str] = ..., queue_ms: _Optional[float] = ..., resumes: _Optional[_Iterable[_Union[Resume, _Mapping]]] = ..., source: _Optional[str] = ...) -> None: ...

class GenerateEvent(_message.Message):
    __slots__ = ("decision", "assigned", "progress", "tokens", "done", "waiting", "heartbeat_ms")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    assigned: Assigned
    progress: Progress
    tokens: Tokens
    done: Done
    waiting: Waiting
    heartbeat_ms: int
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ..., assigned: _Optional[_Union[Assigned, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., tokens: _Optional[_Union[Tokens, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., waiting: _Optional[_Union[Waiting, _Mapping]] = ..., heartbeat_ms: _Optional[int] = ...) -> None: ...

class RouteRequest(_message.Message):
    __slots__ = ("messages", "specialty", "model", "want_ticket", "conversation_id", "sampling", "tenant", "cacheable")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SPECIALTY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WANT_TICKET_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CACHEABLE_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    specialty: str
    model: str
    want_ticket: bool
    conversation_id: str
    sampling: Sampling
    tenant: str
    cacheable: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., specialty: _Optional[str] = ..., model: _Optional[str] = ..., want_ticket: _Optional[bool] = ..., conversation_id: _Optional[str] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., tenant: _Optional[str] = ..., cacheable: _Optional[bool] = ...) -> None: ...

class Ticket(_message.Message):
    __slots__ = ("token", "node_id", "node_name", "endpoint", "model", "lifetime_s", "max_tokens", "max_streams", "tokenizer_hash")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_S_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_HASH_FIELD_NUMBER: _ClassVar[int]
    token: str
    node_id: str
    node_name: str
    endpoint: str
    model: str
    lifetime_s: float
    max_tokens: int
    max_streams: int
    tokenizer_hash: str
    def __init__(self, token: _Optional[str] = ..., node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., endpoint: _Optional[str] = ..., model: _Optional[str] = ..., lifetime_s: _Optional[float] = ..., max_tokens: _Optional[int] = ..., max_streams: _Optional[int] = ..., tokenizer_hash: _Optional[str] = ...) -> None: ...

class DirectRequest(_message.Message):
    __slots__ = ("ticket", "request")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ticket: str
    request: GenerateRequest
    def __init__(self, ticket: _Optional[str] = ..., request: _Optional[_Union[GenerateRequest, _Mapping]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("node_id", "node_name", "model", "eligible", "reason", "score")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    node_name: str
    model: str
    eligible: bool
    reason: str
    score: float
    def __init__(self, node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., model: _Optional[str] = ..., eligible: _Optional[bool] = ..., reason: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class RouteResponse(_message.Message):
    __slots__ = ("decision", "candidates", "ticket", "no_ticket", "ready", "prior")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    NO_TICKET_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    ticket: Ticket
    no_ticket: str
    ready: Ready
    prior: str
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., ticket: _Optional[_Union[Ticket, _Mapping]] = ..., no_ticket: _Optional[str] = ..., ready: _Optional[_Union[Ready, _Mapping]] = ..., prior: _Optional[str] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("source", "text", "node_name", "model", "finish_reason")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    source: str
    text: str
    node_name: str
    model: str
    finish_reason: str
    def __init__(self, source: _Optional[str] = ..., text: _Optional[str] = ..., node_name: _Optional[str] = ..., model: _Optional[str] = ..., finish_reason: _Optional[str] = ...) -> None: ...

class RouteBatchRequest(_message.Message):
    __slots__ = ("prompts", "with_candidates")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    WITH_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[RouteRequest]
    with_candidates: bool
    def __init__(self, prompts: _Optional[_Iterable[_Union[RouteRequest, _Mapping]]] = ..., with_candidates: _Optional[bool] = ...) -> None: ...

class RouteBatchResponse(_message.Message):
    __slots__ = ("index", "route", "failure")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    index: int
    route: RouteResponse
    failure: Failure
    def __init__(self, index: _Optional[int] = ..., route: _Optional[_Union[RouteResponse, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("texts", "specialty", "model", "timeout_s", "priority", "request_id", "tenant")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    SPECIALTY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    specialty: str
    model: str
    timeout_s: float
    priority: str
    request_id: str
    tenant: str
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., specialty: _Optional[str] = ..., model: _Optional[str] = ..., timeout_s: _Optional[float] = ..., priority: _Optional[str] = ..., request_id: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("vectors", "dimension", "node_id", "node_name", "model", "prompt_tokens", "attempts", "queue_ms", "total_ms", "trace_id")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    vectors: bytes
    dimension: int
    node_id: str
    node_name: str
    model: str
    prompt_tokens: int
    attempts: int
    queue_ms: float
    total_ms: float
    trace_id: str
    def __init__(self, vectors: _Optional[bytes] = ..., dimension: _Optional[int] = ..., node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., model: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., attempts: _Optional[int] = ..., queue_ms: _Optional[float] = ..., total_ms: _Optional[float] = ..., trace_id: _Optional[str] = ...) -> None: ...

class FleetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Node(_message.Message):
    __slots__ = ("last_seen", "last_seen_age_s", "in_flight", "link_up", "record", "unreachable_since", "gone_since")
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AGE_S_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    LINK_UP_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_SINCE_FIELD_NUMBER: _ClassVar[int]
    GONE_SINCE_FIELD_NUMBER: _ClassVar[int]
    last_seen: float
    last_seen_age_s: float
    in_flight: int
    link_up: bool
    record: bytes
    unreachable_since: float
    gone_since: float
    def __init__(self, last_seen: _Optional[float] = ..., last_seen_age_s: _Optional[float] = ..., in_flight: _Optional[int] = ..., link_up: _Optional[bool] = ..., record: _Optional[bytes] = ..., unreachable_since: _Optional[float] = ..., gone_since: _Optional[float] = ...) -> None: ...

class Unreadable(_message.Message):
    __slots__ = ("key", "reason")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key: str
    reason: str
    def __init__(self, key: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Orchestrator(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: bytes
    def __init__(self, record: _Optional[bytes] = ...) -> None: ...

class FleetResponse(_message.Message):
    __slots__ = ("nodes", "orchestrators", "registry_connected", "gone", "unreadable", "unreadable_more", "registry_shortfall")
    NODES_FIELD_NUMBER: _ClassVar[int]
    ORCHESTRATORS_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_MORE_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    orchestrators: _containers.RepeatedCompositeFieldContainer[Orchestrator]
    registry_connected: bool
    gone: _containers.RepeatedCompositeFieldContainer[Node]
    unreadable: _containers.RepeatedCompositeFieldContainer[Unreadable]
    unreadable_more: int
    registry_shortfall: str
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., orchestrators: _Optional[_Iterable[_Union[Orchestrator, _Mapping]]] = ..., registry_connected: _Optional[bool] = ..., gone: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., unreadable: _Optional[_Iterable[_Union[Unreadable, _Mapping]]] = ..., unreadable_more: _Optional[int] = ..., registry_shortfall: _Optional[str] = ...) -> None: ...
