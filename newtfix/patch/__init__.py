"""What a patch is: order, sections of its page, words for its commit."""
