std = "lua54"
max_line_length = 120
exclude_files = { "build" }
files["tests/lua"].std = "lua54+busted"
files["tests/router"].std = "lua54+busted"
