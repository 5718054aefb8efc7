"""The router: ordered stages, each deciding or abstaining. ``cascade`` runs them."""
