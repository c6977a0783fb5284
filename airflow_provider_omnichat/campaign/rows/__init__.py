"""Where rows come from: lists, files, and how their columns are found."""
