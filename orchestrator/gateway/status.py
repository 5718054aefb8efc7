"""How errors leave this gateway: as they leave every server of the client plane."""

from mesh.protobuf.errors import MAX_DETAIL_CHARS, details_of, status_of, trailers_of

__all__ = ["MAX_DETAIL_CHARS", "details_of", "status_of", "trailers_of"]
