# Prints each line of C as FILE:LINE:TEXT without comments, so that a checker judges code only.
# String and character literals become empty ones, unless -v keep=1 (needed to read #include).
FNR == 1 { in_comment = 0 }
{
    line = $0
    out = ""
    while (line != "") {
        if (in_comment) {
            end = index(line, "*/")
            if (end == 0) {
                break
            }
            line = substr(line, end + 2)
            in_comment = 0
            out = out " "
            continue
        }
        if (!match(line, /\/\*|\/\/|"|'/)) {
            out = out line
            break
        }
        token = substr(line, RSTART, RLENGTH)
        out = out substr(line, 1, RSTART - 1)
        line = substr(line, RSTART + RLENGTH)
        if (token == "//") {
            break
        }
        if (token == "/*") {
            in_comment = 1
            continue
        }
        literal = ""
        while (line != "") {
            char = substr(line, 1, 1)
            if (char == "\\") {
                literal = literal substr(line, 1, 2)
                line = substr(line, 3)
                continue
            }
            line = substr(line, 2)
            if (char == token) {
                break
            }
            literal = literal char
        }
        out = out token (keep ? literal : "") token
    }
    print FILENAME ":" FNR ":" out
}
