"""A list as people see it: page, check sheet, workbook, pictures, and the words for numbers and times."""
