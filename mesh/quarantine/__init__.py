"""Requests under which engines were lost, kept away from the fleet for a while: what is told apart
(``marks``), what processes tell each other (``strikes``, pure), and what each of them knows."""
