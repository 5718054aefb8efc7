"""Child processes: started under limits and tied to their parent's life (``start``, ``limits``,
``tether``), spoken to in frames over a socket pair (``launch`` here, ``parent`` in the child,
``frames`` between them), and ended within bounds (``ending``)."""
