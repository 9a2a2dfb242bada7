"""What is said in the OpenAI API: bodies read and rewritten, answers relayed, receipts put in."""
