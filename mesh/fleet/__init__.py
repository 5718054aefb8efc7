"""Who is there: records, the view that they make, and who of them answers. All of it pure."""
