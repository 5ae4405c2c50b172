"""Pictures of scores, trainings and utterances, as SVG that takes its colors from the page."""
