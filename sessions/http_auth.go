package sessions

const publicClientKey = "__stack_public_client__"
