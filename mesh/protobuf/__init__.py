"""The one place that turns the client plane's protobuf into domain types and back.

``*_to_wire`` take domain types, ``*_from_wire`` take messages. What a client sends is checked here
as far as types go (roles, ids, names) and in ``mesh/validation.py`` as far as values go; what an
orchestrator sends is trusted to be well formed, and a ``ProtocolError`` when it is not.
"""
