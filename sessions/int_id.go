package sessions

import (
	"context"
	"strconv"
)

// integer is any integer type.
type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// IntID returns the decimal spelling of an integer user id, for [User].ID,
// [CreateParams].UserID and all other user ids of this package. Each user has one spelling:
// [IntUsers] and [Identity.IntID] accept no other.
func IntID[T integer](id T) string {
	if id < 0 {
		return strconv.FormatInt(int64(id), 10)
	}
	return strconv.FormatUint(uint64(id), 10)
}

// IntUsers makes a [Config].Users from a lookup by integer id:
//
//	Users: sessions.IntUsers(findUser), // func(ctx context.Context, id int64) (sessions.User, error)
//
// It returns [ErrUserNotFound] for every text that is not the spelling of [IntID]. If "007"
// and "+7" were also ids of the user 7, [Manager.EndMany] for "7" would leave their sessions
// alive. The User that find returns needs no ID; if it has one, that is kept.
func IntUsers[T integer](
	find func(ctx context.Context, id T) (User, error),
) func(ctx context.Context, userID string) (User, error) {
	return func(ctx context.Context, userID string) (User, error) {
		n, err := strconv.ParseInt(userID, 10, 64)
		id := T(n)
		if err != nil {
			var u uint64
			u, err = strconv.ParseUint(userID, 10, 64)
			id = T(u)
		}
		if err != nil || IntID(id) != userID { // a T that cannot hold the number has another spelling
			return User{}, ErrUserNotFound
		}
		user, err := find(ctx, id)
		if err != nil {
			return User{}, err
		}
		setDefault(&user.ID, userID)
		return user, nil
	}
}

// IntID returns UserID as an integer, for hosts with [IntUsers]. ok is false if there is no
// user, or if UserID is not the spelling of [IntID].
func (id Identity) IntID() (n int64, ok bool) {
	n, err := strconv.ParseInt(id.UserID, 10, 64)
	if err != nil || IntID(n) != id.UserID {
		return 0, false
	}
	return n, true
}
