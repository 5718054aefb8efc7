"""The agent on a box: hosts models in runners, serves attempts, advertises what it has."""
