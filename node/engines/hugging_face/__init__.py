"""What a Hugging Face folder holds beside its weights; for engines that read one."""
